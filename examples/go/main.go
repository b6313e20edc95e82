// Fills a collection with a folder of images and asks it with the first one: search SEARCH INGEST FOLDER.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	ingestv1 "example.com/search/gen/fovea/ingest/v1"
	searchv1 "example.com/search/gen/fovea/search/v1"
)

const (
	collection      = "example_go"
	maxMessageBytes = 64 << 20
	// Replicas share the calls; a search that found its server away is sent once more.
	serviceConfig = `{
		"loadBalancingConfig": [{"round_robin": {}}],
		"methodConfig": [{
			"name": [{"service": "fovea.search.v1.SearchService"}],
			"retryPolicy": {"maxAttempts": 2, "initialBackoff": "0.05s", "maxBackoff": "1s", "backoffMultiplier": 2,
				"retryableStatusCodes": ["UNAVAILABLE"]}
		}]
	}`
)

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: search SEARCH INGEST FOLDER")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Args[1], os.Args[2], os.Args[3]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, searchTarget, ingestTarget, folder string) error {
	images, err := filepath.Glob(filepath.Join(folder, "*.jpg"))
	if err != nil {
		return err
	}
	if len(images) == 0 {
		return fmt.Errorf("%s has no .jpg files", folder)
	}
	ingestConn, err := dial(ingestTarget)
	if err != nil {
		return err
	}
	defer ingestConn.Close()
	searchConn, err := dial(searchTarget)
	if err != nil {
		return err
	}
	defer searchConn.Close()

	ingest := ingestv1.NewIngestServiceClient(ingestConn)
	create := &ingestv1.CreateCollectionRequest{Collection: &ingestv1.Collection{Name: collection}}
	if _, err := ingest.CreateCollection(ctx, create); err != nil {
		return err
	}
	defer ingest.DeleteCollection(ctx, &ingestv1.DeleteCollectionRequest{Name: collection})
	if err := fill(ctx, ingest, images); err != nil {
		return err
	}
	return ask(ctx, searchv1.NewSearchServiceClient(searchConn), images[0])
}

func dial(target string) (*grpc.ClientConn, error) {
	return grpc.NewClient(target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.MaxCallSendMsgSize(maxMessageBytes)))
}

// fill sends each image and reads a result for each; both sides of the stream go on at the same time.
func fill(ctx context.Context, ingest ingestv1.IngestServiceClient, images []string) error {
	stream, err := ingest.Ingest(ctx)
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() { sent <- send(stream, images) }()
	for {
		response, err := stream.Recv()
		if err == io.EOF {
			return <-sent
		}
		if err != nil {
			return err
		}
		fmt.Println(response.GetStatus(), response.GetUri(), response.GetError().GetMessage())
	}
}

func send(stream ingestv1.IngestService_IngestClient, images []string) error {
	for _, path := range images {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		item := &ingestv1.Item{Uri: path, Image: data}
		if err := stream.Send(&ingestv1.IngestRequest{Collection: collection, Item: item}); err != nil {
			return err
		}
	}
	return stream.CloseSend()
}

func ask(ctx context.Context, search searchv1.SearchServiceClient, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	part := &searchv1.QueryPart{Content: &searchv1.QueryPart_Image{Image: data}}
	request := &searchv1.SearchRequest{Collection: collection, Parts: []*searchv1.QueryPart{part}, Limit: 3}
	response, err := search.Search(ctx, request)
	if err != nil {
		return err
	}
	for _, hit := range response.GetHits() {
		fmt.Printf("%.3f %s\n", hit.GetScore(), hit.GetUri())
	}
	return nil
}
