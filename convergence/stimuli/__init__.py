"""Images: drawn, from folders and archives, and the shifts that distort any of them."""
