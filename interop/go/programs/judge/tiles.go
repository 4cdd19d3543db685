package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"filippo.io/torchwood"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// writeTiles writes the tiles and entry bundles of this process's tree at a size, as tlog-tiles lays them out.
func writeTiles(q struct {
	Dir  string
	Size int64
}) (map[string]int, error) {
	write := func(tile tlog.Tile, data []byte) error {
		path := filepath.Join(q.Dir, torchwood.TilePath(tile))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return os.WriteFile(path, data, 0o644)
	}
	tiles := tlog.NewTiles(torchwood.TileHeight, 0, q.Size)
	for _, tile := range tiles {
		data, err := tlog.ReadTileData(tile, stored)
		if err != nil {
			return nil, err
		}
		if err := write(tile, data); err != nil {
			return nil, err
		}
		if tile.L != 0 {
			continue
		}
		var bundle []byte
		for i := range int64(tile.W) {
			if bundle, err = torchwood.AppendTileEntry(bundle, entry(tile.N*torchwood.TileWidth+i)); err != nil {
				return nil, err
			}
		}
		tile.L = -1
		if err := write(tile, bundle); err != nil {
			return nil, err
		}
	}
	return map[string]int{"tiles": len(tiles)}, nil
}

type tilesRead struct {
	Error       string     `json:"error"`
	Inclusion   [][][]byte `json:"inclusion"`
	Consistency [][][]byte `json:"consistency"`
	Entries     int64      `json:"entries"`
}

// readTiles verifies a tree from the tiles in a folder, by torchwood over x/mod's tlog and by tessera, and makes proofs
// from them: inclusion of each of the indexes, consistency from each of the old sizes.
func readTiles(q struct {
	Dir     string
	Size    uint64
	Root    []byte
	Indexes []uint64
	Olds    []uint64
	Entries bool
}) (map[string]tilesRead, error) {
	files, err := torchwood.NewTileFS(os.DirFS(q.Dir))
	if err != nil {
		return nil, err
	}
	fetcher := client.FileFetcher{Root: q.Dir}
	return readTree(files, fetcher.ReadTile, fetcher.ReadEntryBundle, q.Size, q.Root, q.Indexes, q.Olds, q.Entries)
}

func readTree(
	reader torchwood.TileReader,
	tiles client.TileFetcherFunc,
	bundles client.EntryBundleFetcherFunc,
	size uint64,
	root []byte,
	indexes, olds []uint64,
	entries bool,
) (map[string]tilesRead, error) {
	if len(root) != tlog.HashSize {
		return nil, errors.New("the root is no hash")
	}
	ctx := context.Background()
	tree := tlog.Tree{N: int64(size), Hash: tlog.Hash(root)}
	var t, s tilesRead
	t.Error = verdict(func() error {
		hashes := torchwood.TileHashReaderWithContext(ctx, tree, reader)
		// Reading through it authenticates every tile against the root.
		if found, err := tlog.TreeHash(tree.N, hashes); err != nil || found != tree.Hash {
			return fmt.Errorf("tree hash %v: %w", found, err)
		}
		for _, index := range indexes {
			p, err := tlog.ProveRecord(tree.N, int64(index), hashes)
			if err != nil {
				return err
			}
			t.Inclusion = append(t.Inclusion, bytesOf(p))
		}
		for _, old := range olds {
			p, err := tlog.ProveTree(tree.N, int64(old), hashes)
			if err != nil {
				return err
			}
			t.Consistency = append(t.Consistency, bytesOf(p))
		}
		if !entries {
			return nil
		}
		c, err := torchwood.NewClient(reader, torchwood.WithTimeout(20*time.Second))
		if err != nil {
			return err
		}
		for range c.AllEntries(ctx, tree, 0) {
			t.Entries++
		}
		return c.Err()
	})
	s.Error = verdict(func() error {
		builder, err := client.NewProofBuilder(ctx, size, tiles)
		if err != nil {
			return err
		}
		for _, index := range indexes {
			p, err := builder.InclusionProof(ctx, index)
			if err != nil {
				return err
			}
			s.Inclusion = append(s.Inclusion, p)
		}
		for _, old := range olds {
			p, err := builder.ConsistencyProof(ctx, old, size)
			if err != nil {
				return err
			}
			s.Consistency = append(s.Consistency, p)
		}
		if !entries {
			return nil
		}
		leaves, err := client.FetchLeafHashes(ctx, tiles, 0, size, size)
		if err != nil {
			return err
		}
		for i := uint64(0); i*torchwood.TileWidth < size; i++ {
			bundle, err := client.GetEntryBundle(ctx, bundles, i, size)
			if err != nil {
				return err
			}
			for j, e := range bundle.Entries {
				at := int(i)*torchwood.TileWidth + j
				if at >= len(leaves) || string(rfc6962.DefaultHasher.HashLeaf(e)) != string(leaves[at]) {
					return fmt.Errorf("entry %d is not the one in the tree", at)
				}
				s.Entries++
			}
		}
		return nil
	})
	return map[string]tilesRead{"torchwood": t, "tessera": s}, nil
}

type logRead struct {
	Size  uint64               `json:"size"`
	Root  []byte               `json:"root"`
	Note  []byte               `json:"note"`
	Fsck  string               `json:"fsck"`
	Trees map[string]tilesRead `json:"trees"`
}

// readLog reads a whole log over HTTP: its checkpoint by x/mod, its tiles, bundles and entries by torchwood and tessera,
// and everything once more by tessera's fsck.
func readLog(q struct{ URL, Vkey string }) (*logRead, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	v, err := note.NewVerifier(q.Vkey)
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(q.URL)
	if err != nil {
		return nil, err
	}
	fetcher, err := client.NewHTTPFetcher(base, http.DefaultClient)
	if err != nil {
		return nil, err
	}
	c, raw, _, err := client.FetchCheckpoint(ctx, fetcher.ReadCheckpoint, v, v.Name())
	if err != nil {
		return nil, err
	}
	tileFetcher, err := torchwood.NewTileFetcher(q.URL)
	if err != nil {
		return nil, err
	}
	read := &logRead{Size: c.Size, Root: c.Hash, Note: raw}
	var indexes, olds []uint64
	for i := uint64(0); i < c.Size; i += 1 + c.Size/50 {
		indexes, olds = append(indexes, i), append(olds, i+1)
	}
	read.Trees, err = readTree(tileFetcher, fetcher.ReadTile, fetcher.ReadEntryBundle, c.Size, c.Hash, indexes, olds, true)
	if err != nil {
		return nil, err
	}
	read.Fsck = verdict(func() error {
		hasher := func(data []byte) ([][]byte, error) {
			var bundle api.EntryBundle
			if err := bundle.UnmarshalText(data); err != nil {
				return nil, err
			}
			hashes := make([][]byte, 0, len(bundle.Entries))
			for _, e := range bundle.Entries {
				hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(e))
			}
			return hashes, nil
		}
		return fsck.New(v.Name(), v, fixed{fetcher, raw}, hasher, fsck.Opts{N: 4}).Check(ctx)
	})
	return read, nil
}

// fixed is a log at the checkpoint that was read first, while it goes on growing.
type fixed struct {
	*client.HTTPFetcher
	checkpoint []byte
}

func (f fixed) ReadCheckpoint(context.Context) ([]byte, error) { return f.checkpoint, nil }

type tilePath struct {
	Error string `json:"error"`
	// -1 for entry bundles.
	Level int    `json:"level"`
	Index int64  `json:"index"`
	Width int    `json:"width"`
	Path  string `json:"path"`
}

func readPath(q struct{ Path string }) (p tilePath, _ error) {
	p.Error = verdict(func() error {
		tile, err := torchwood.ParseTilePath(q.Path)
		if err == nil {
			p.Level, p.Index, p.Width, p.Path = tile.L, tile.N, tile.W, torchwood.TilePath(tile)
		}
		return err
	})
	return p, nil
}

func writePath(q struct {
	Level int
	Index int64
	Width int
}) (map[string]string, error) {
	tile := tlog.Tile{H: torchwood.TileHeight, L: q.Level, N: q.Index, W: q.Width}
	partial := uint8(q.Width) // 256 is 0, which stands for full tiles.
	path := layout.EntriesPath(uint64(q.Index), partial)
	if q.Level >= 0 {
		path = layout.TilePath(uint64(q.Level), uint64(q.Index), partial)
	}
	return map[string]string{"torchwood": torchwood.TilePath(tile), "tessera": path}, nil
}

type bundleRead struct {
	Error   string   `json:"error"`
	Entries [][]byte `json:"entries"`
}

func readBundle(q struct{ Data []byte }) (map[string]bundleRead, error) {
	var t, s bundleRead
	t.Error = verdict(func() error {
		for rest := q.Data; len(rest) > 0; {
			e, after, err := torchwood.ReadTileEntry(rest)
			if err != nil {
				return err
			}
			t.Entries, rest = append(t.Entries, e), after
		}
		return nil
	})
	s.Error = verdict(func() error {
		var bundle api.EntryBundle
		err := bundle.UnmarshalText(q.Data)
		s.Entries = bundle.Entries
		return err
	})
	return map[string]bundleRead{"torchwood": t, "tessera": s}, nil
}
