"""Application protocols, one module each: messages in, what they give away out."""
