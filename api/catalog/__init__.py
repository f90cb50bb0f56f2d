"""Species, exhibitions and educational services: public entries with a picture; QR codes."""
