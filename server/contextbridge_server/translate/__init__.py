"""Pure translation: protobuf messages on one side, JSON values or bytes on the other."""
