package contextbridge

// Version is the version of this module. The server of the same release has the same version.
const Version = "0.2.0"
