/** The version of this package, and of the server that it was released with. */
export const VERSION = "0.1.0";
