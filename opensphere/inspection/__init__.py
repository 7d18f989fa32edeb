"""What is wrong with a set of face images: pure analyses, arrays in, findings out."""
