"""What single web frameworks and database libraries need: each module imports its own library."""
