package contextbridge

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"

	pb "contextbridge.dev/go/contextbridge/v1"
)

const pieceBytes = 256 << 10

// UploadFile uploads what a reader gives, in pieces, and returns what is known of the file. A video
// may be STATE_PROCESSING at first.
//
// The metadata needs the media type. Its size may be 0 where the reader can tell it, as those of
// packages bytes and strings and an *os.File can. It fails with the reader's own error where that
// fails, and with an *Error where the call does.
func (c *Client) UploadFile(
	ctx context.Context, metadata *pb.UploadFileMetadata, file io.Reader, options ...CallOption,
) (*pb.File, error) {
	metadata = proto.CloneOf(metadata)
	if metadata.GetSizeBytes() == 0 {
		size, err := sizeOf(file)
		if err != nil {
			return nil, err
		}
		metadata.SizeBytes = size
	}
	_, ctx, cancel := c.begin(ctx, options)
	defer cancel()
	call, err := c.files.UploadFile(ctx)
	if err != nil {
		return nil, newError(ctx, err)
	}
	first := &pb.UploadFileRequest{Payload: &pb.UploadFileRequest_Metadata{Metadata: metadata}}
	err = call.Send(first)
	for piece := make([]byte, pieceBytes); err == nil; {
		var count int
		count, err = io.ReadFull(file, piece)
		if count > 0 {
			chunk := &pb.UploadFileRequest_Chunk{Chunk: piece[:count]}
			if sent := call.Send(&pb.UploadFileRequest{Payload: chunk}); sent != nil {
				break // The call has ended early; its status says why.
			}
		}
	}
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	response, err := call.CloseAndRecv()
	if err != nil {
		return nil, newError(ctx, err)
	}
	return response.GetFile(), nil
}

// sizeOf returns how many bytes a reader has left.
func sizeOf(file io.Reader) (int64, error) {
	switch file := file.(type) {
	case interface{ Len() int }:
		return int64(file.Len()), nil
	case io.Seeker:
		return sizeOfSeeker(file)
	default:
		return 0, fmt.Errorf("contextbridge: the size of a %T is not known: set SizeBytes", file)
	}
}

func sizeOfSeeker(file io.Seeker) (int64, error) {
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
