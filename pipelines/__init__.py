"""What data exists, why, and when it is remade."""
