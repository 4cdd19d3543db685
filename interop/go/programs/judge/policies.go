package main

import (
	"errors"

	"filippo.io/torchwood"
	"github.com/transparency-dev/formats/proof"
	fwitness "github.com/transparency-dev/formats/witness"
	"github.com/transparency-dev/tessera"
	"golang.org/x/mod/sumdb/tlog"
)

type policyRead struct {
	// Whether the policy is one.
	Error string `json:"error"`
	// For each note, why it does not satisfy the policy.
	Notes []string `json:"notes"`
}

type group interface{ Satisfied(cp []byte) bool }

func satisfied(parse func() (group, error), notes [][]byte) (read policyRead) {
	var g group
	read.Error = verdict(func() (err error) { g, err = parse(); return err })
	for _, n := range notes {
		read.Notes = append(read.Notes, verdict(func() error {
			if read.Error != "" || !g.Satisfied(n) {
				return errors.New("not satisfied")
			}
			return nil
		}))
	}
	return read
}

// readPolicy reads a policy and judges notes by it. torchwood looks for the log's signature too; tessera and formats,
// whose policies are for logs to satisfy, look at cosignatures only.
func readPolicy(q struct {
	Policy []byte
	Notes  [][]byte
}) (map[string]policyRead, error) {
	var t policyRead
	var policy torchwood.Policy
	t.Error = verdict(func() (err error) { policy, err = torchwood.ParsePolicy(q.Policy); return err })
	for _, n := range q.Notes {
		t.Notes = append(t.Notes, verdict(func() error {
			if t.Error != "" {
				return errors.New("no policy")
			}
			_, _, err := torchwood.VerifyCheckpoint(n, policy)
			return err
		}))
	}
	return map[string]policyRead{
		"torchwood": t,
		"tessera":   satisfied(func() (group, error) { return tessera.NewWitnessGroupFromPolicy(q.Policy) }, q.Notes),
		"formats":   satisfied(func() (group, error) { return fwitness.ParsePolicy(q.Policy) }, q.Notes),
	}, nil
}

func verifyProof(q struct{ Proof, Policy, Leaf []byte }) (map[string]string, error) {
	if len(q.Leaf) != tlog.HashSize {
		return nil, errors.New("the leaf is no hash")
	}
	policy, err := torchwood.ParsePolicy(q.Policy)
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"torchwood": verdict(func() error { return torchwood.VerifyProof(policy, tlog.Hash(q.Leaf), q.Proof) }),
		"formats": verdict(func() error {
			var p proof.TLogProof
			return p.Unmarshal(q.Proof)
		}),
	}, nil
}

// writeProof writes a proof; no extra data is not the same as empty ones here.
func writeProof(q struct {
	Index  uint64
	Hashes [][]byte
	Note   []byte
	Extra  []byte
}) (map[string][]byte, error) {
	hashes, err := hashesOf(q.Hashes)
	if err != nil {
		return nil, err
	}
	p := proof.TLogProof{Index: q.Index, Checkpoint: q.Note, ExtraData: q.Extra}
	for _, hash := range hashes {
		p.Hashes = append(p.Hashes, hash)
	}
	written := torchwood.FormatProof(int64(q.Index), hashes, q.Note)
	if q.Extra != nil {
		written = torchwood.FormatProofWithExtraData(int64(q.Index), q.Extra, hashes, q.Note)
	}
	return map[string][]byte{"torchwood": written, "formats": p.Marshal()}, nil
}
