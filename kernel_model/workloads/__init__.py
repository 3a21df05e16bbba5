"""What is to be done, independent of how: workloads, the data that they work on, and what a client has to do."""
