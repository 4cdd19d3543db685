// Judge answers questions about formats and proofs with libraries that Keyglass has no part in.
//
// Each line on standard input is a JSON object whose member "op" names the question; each line on standard output is
// the answer. A library's verdict is the text of its error, empty where it accepts; a panic is a verdict as well.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

type question func(json.RawMessage) (any, error)

// ask adapts a typed function to the table of questions.
func ask[Q, A any](answer func(Q) (A, error)) question {
	return func(raw json.RawMessage) (any, error) {
		var q Q
		if err := json.Unmarshal(raw, &q); err != nil {
			return nil, fmt.Errorf("question: %w", err)
		}
		return answer(q)
	}
}

var questions = map[string]question{
	"vkey":               ask(readVkey),
	"open":               ask(openNote),
	"checkpoint":         ask(readCheckpoint),
	"keygen":             ask(generateKey),
	"sign":               ask(signNote),
	"grow":               ask(growTree),
	"root":               ask(rootAt),
	"prove_inclusion":    ask(proveInclusion),
	"prove_consistency":  ask(proveConsistency),
	"verify_inclusion":   ask(verifyInclusion),
	"verify_consistency": ask(verifyConsistency),
	"write_tiles":        ask(writeTiles),
	"read_tiles":         ask(readTiles),
	"read_log":           ask(readLog),
	"read_path":          ask(readPath),
	"write_path":         ask(writePath),
	"bundle":             ask(readBundle),
	"policy":             ask(readPolicy),
	"verify_proof":       ask(verifyProof),
	"write_proof":        ask(writeProof),
}

// verdict is what one library says.
func verdict(judge func() error) (text string) {
	defer func() {
		if r := recover(); r != nil {
			text = fmt.Sprintf("panic: %v", r)
		}
	}()
	if err := judge(); err != nil {
		if text = err.Error(); text == "" {
			text = "refused"
		}
	}
	return text
}

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var head struct {
			Op string `json:"op"`
		}
		var answer any
		if err = json.Unmarshal(line, &head); err == nil {
			if q, ok := questions[head.Op]; ok {
				answer, err = q(line)
			} else {
				err = fmt.Errorf("there is no question %q", head.Op)
			}
		}
		if err != nil {
			answer = map[string]string{"failed": err.Error()}
		}
		if encoder.Encode(answer) != nil || out.Flush() != nil {
			return
		}
	}
}
