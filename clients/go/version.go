package contextbridge

// Version is the version of this module, and of the server that it was released with.
const Version = "0.1.0"
