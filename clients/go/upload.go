package contextbridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"path/filepath"

	"google.golang.org/grpc"

	pb "contextbridge.dev/go/contextbridge/v1"
)

const pieceBytes = 256 << 10

// UploadFile uploads the rest of a reader and returns the file's metadata. A video may be
// STATE_PROCESSING at first.
//
// The metadata may be nil, and may leave out the size for an *os.File and for the readers of packages
// bytes and strings, and the media type for an *os.File whose name has a known extension. UploadFile
// fails with the reader's own error if reading fails, with an error if the size or the media type is
// unknown, and with an *Error if the call fails.
func (c *Client) UploadFile(
	ctx context.Context, metadata *pb.UploadFileMetadata, file io.Reader, _ ...CallOption,
) (*pb.File, error) {
	metadata = copyOf(metadata)
	if err := complete(metadata, file); err != nil {
		return nil, err
	}
	ctx, cancel := c.begin(ctx)
	defer cancel()
	call, err := c.files.UploadFile(ctx)
	if err != nil {
		return nil, newError(ctx, err)
	}
	if err := send(call, metadata, file); err != nil {
		return nil, err
	}
	response, err := call.CloseAndRecv()
	if err != nil {
		return nil, newError(ctx, err)
	}
	return response.GetFile(), nil
}

// send sends a file until its end, or until the server ends the call, whose status then says why. It
// fails with the reader's error.
func send(
	call grpc.ClientStreamingClient[pb.UploadFileRequest, pb.UploadFileResponse],
	metadata *pb.UploadFileMetadata,
	file io.Reader,
) error {
	first := &pb.UploadFileRequest_Metadata{Metadata: metadata}
	sent := call.Send(&pb.UploadFileRequest{Payload: first})
	for sent == nil {
		piece, err := readPiece(file)
		if err != nil && err != io.EOF {
			return err
		}
		if len(piece) > 0 {
			sent = call.Send(&pb.UploadFileRequest{Payload: &pb.UploadFileRequest_Chunk{Chunk: piece}})
		}
		if err == io.EOF {
			return nil
		}
	}
	return nil
}

// readPiece reads until a piece is full, and returns the bytes read before an error. io.ReadFull
// would return io.ErrUnexpectedEOF for a short last piece, as a reader does for a truncated file.
func readPiece(file io.Reader) ([]byte, error) {
	piece := make([]byte, pieceBytes)
	for filled := 0; filled < len(piece); {
		count, err := file.Read(piece[filled:])
		filled += count
		if err != nil {
			return piece[:filled], err
		}
	}
	return piece, nil
}

// complete fills in the media type and the size from the reader if the caller left them out.
func complete(metadata *pb.UploadFileMetadata, file io.Reader) error {
	if metadata.MimeType == "" {
		if metadata.MimeType = mimeTypeOf(file); metadata.MimeType == "" {
			return errors.New("contextbridge: the media type is unknown: set MimeType")
		}
	}
	if metadata.SizeBytes == 0 {
		size, err := sizeOf(file)
		if err != nil {
			return fmt.Errorf("contextbridge: the size is unknown: set SizeBytes: %w", err)
		}
		metadata.SizeBytes = size
	}
	return nil
}

func mimeTypeOf(file io.Reader) string {
	named, ok := file.(interface{ Name() string })
	if !ok {
		return ""
	}
	// Drop the parameters: their charset is only a guess.
	found, _, _ := mime.ParseMediaType(mime.TypeByExtension(filepath.Ext(named.Name())))
	return found
}

// sizeOf returns the number of bytes that a reader has left.
func sizeOf(file io.Reader) (int64, error) {
	switch file := file.(type) {
	case *bytes.Buffer:
		return int64(file.Len()), nil
	case io.Seeker:
		return rest(file)
	default:
		return 0, fmt.Errorf("a %T cannot seek", file)
	}
}

func rest(file io.Seeker) (int64, error) {
	here, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	_, err = file.Seek(here, io.SeekStart)
	return end - here, err
}
