"""What runs processes: the supervisor, its workers, their socket, and what workers share."""
