package main

import (
	"fmt"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"golang.org/x/mod/sumdb/tlog"
)

// The tree that both libraries keep here: entry i is the text "entry i", as on the other side.
var (
	merkleTree = testonly.New(rfc6962.DefaultHasher)
	modHashes  []tlog.Hash
	modSize    int64
)

// stored reads the hashes of the tree that x/mod keeps.
var stored = tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(modHashes)) {
			return nil, fmt.Errorf("no hash %d", index)
		}
		hashes[i] = modHashes[index]
	}
	return hashes, nil
})

func entry(i int64) []byte { return fmt.Appendf(nil, "entry %d", i) }

func growTree(q struct{ To int64 }) (map[string]int64, error) {
	for ; modSize < q.To; modSize++ {
		merkleTree.AppendData(entry(modSize))
		hashes, err := tlog.StoredHashes(modSize, entry(modSize), stored)
		if err != nil {
			return nil, err
		}
		modHashes = append(modHashes, hashes...)
	}
	return map[string]int64{"size": modSize}, nil
}

func rootAt(q struct{ Size uint64 }) (map[string][]byte, error) {
	mod, err := tlog.TreeHash(int64(q.Size), stored)
	return map[string][]byte{"merkle": merkleTree.HashAt(q.Size), "mod": mod[:]}, err
}

func bytesOf(hashes []tlog.Hash) [][]byte {
	list := make([][]byte, 0, len(hashes))
	for _, hash := range hashes {
		list = append(list, append([]byte(nil), hash[:]...))
	}
	return list
}

func proveInclusion(q struct{ Index, Size uint64 }) (map[string][][]byte, error) {
	merkle, err := merkleTree.InclusionProof(q.Index, q.Size)
	if err != nil {
		return nil, err
	}
	mod, err := tlog.ProveRecord(int64(q.Size), int64(q.Index), stored)
	return map[string][][]byte{"merkle": merkle, "mod": bytesOf(mod)}, err
}

func proveConsistency(q struct{ Old, New uint64 }) (map[string][][]byte, error) {
	merkle, err := merkleTree.ConsistencyProof(q.Old, q.New)
	if err != nil {
		return nil, err
	}
	mod, err := tlog.ProveTree(int64(q.New), int64(q.Old), stored)
	return map[string][][]byte{"merkle": merkle, "mod": bytesOf(mod)}, err
}

// hashesOf converts a proof for x/mod, whose hashes are of one length by their type.
func hashesOf(list [][]byte) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(list))
	for i, hash := range list {
		if len(hash) != tlog.HashSize {
			return nil, fmt.Errorf("a hash of %d bytes", len(hash))
		}
		hashes[i] = tlog.Hash(hash)
	}
	return hashes, nil
}

func verifyInclusion(q struct {
	Index, Size uint64
	Leaf, Root  []byte
	Proof       [][]byte
}) (map[string]string, error) {
	hashes, err := hashesOf(append([][]byte{q.Leaf, q.Root}, q.Proof...))
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"merkle": verdict(func() error {
			return proof.VerifyInclusion(rfc6962.DefaultHasher, q.Index, q.Size, q.Leaf, q.Proof, q.Root)
		}),
		"mod": verdict(func() error {
			return tlog.CheckRecord(hashes[2:], int64(q.Size), hashes[1], int64(q.Index), hashes[0])
		}),
	}, nil
}

func verifyConsistency(q struct {
	Old, New         uint64
	OldRoot, NewRoot []byte
	Proof            [][]byte
}) (map[string]string, error) {
	hashes, err := hashesOf(append([][]byte{q.OldRoot, q.NewRoot}, q.Proof...))
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"merkle": verdict(func() error {
			return proof.VerifyConsistency(rfc6962.DefaultHasher, q.Old, q.New, q.Proof, q.OldRoot, q.NewRoot)
		}),
		"mod": verdict(func() error {
			return tlog.CheckTree(hashes[2:], int64(q.New), hashes[1], int64(q.Old), hashes[0])
		}),
	}, nil
}
