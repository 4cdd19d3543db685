// Feed submits a log's checkpoint to a witness with the clients of transparency-dev: tessera's reads the log and makes
// the proofs, witness's speaks to the witness.
//
// Usage: feed LOG-URL LOG-VKEY WITNESS-URL OLD-SIZE. It begins at the size that the caller believes the witness to be at,
// continues once from the size that it is told, prints the cosignature lines, and ends with 1 if there are none.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/transparency-dev/tessera/client"
	whttp "github.com/transparency-dev/witness/client/http"
	"github.com/transparency-dev/witness/witness"
	"golang.org/x/mod/sumdb/note"
)

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: feed LOG-URL LOG-VKEY WITNESS-URL OLD-SIZE")
	}
	lines, err := feed(os.Args[1], os.Args[2], os.Args[3], os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(lines))
}

func feed(logURL, vkey, witnessURL, old string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	size, err := strconv.ParseUint(old, 10, 64)
	if err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, err
	}
	from, err := url.Parse(logURL)
	if err != nil {
		return nil, err
	}
	to, err := url.Parse(witnessURL)
	if err != nil {
		return nil, err
	}
	fetcher, err := client.NewHTTPFetcher(from, http.DefaultClient)
	if err != nil {
		return nil, err
	}
	checkpoint, raw, _, err := client.FetchCheckpoint(ctx, fetcher.ReadCheckpoint, verifier, verifier.Name())
	if err != nil {
		return nil, err
	}
	builder, err := client.NewProofBuilder(ctx, checkpoint.Size, fetcher.ReadTile)
	if err != nil {
		return nil, err
	}
	w := whttp.NewWitness(to, http.DefaultClient)
	for range 2 {
		var proof [][]byte
		if size > 0 {
			if proof, err = builder.ConsistencyProof(ctx, size, checkpoint.Size); err != nil {
				return nil, err
			}
		}
		var lines []byte
		var known uint64
		lines, known, err = w.Update(ctx, size, raw, proof)
		if !errors.Is(err, witness.ErrCheckpointStale) {
			return lines, err
		}
		fmt.Fprintf(os.Stderr, "the witness is at %d, not at %d\n", known, size)
		size = known
	}
	return nil, err
}
