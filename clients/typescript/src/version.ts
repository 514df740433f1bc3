/** The version of this package. The server of the same release has the same version. */
export const VERSION = "0.2.0";
