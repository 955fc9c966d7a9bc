"""``python -m forensics``: the command line, where its script is not on the PATH."""

from forensics.cli import main

if __name__ == "__main__":
    main()
