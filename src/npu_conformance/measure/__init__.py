"""What two traces say of one another: metrics, the noise floor, the tests and the figures."""
