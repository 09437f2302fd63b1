package main

import "github.com/epov-signer/epov/gost/streebog/internal/rfc6986"

// substitution is the S-box as the tables of VPERMI2B: each two of the four registers hold one half of it.
func substitution() []uint64 { return words(rfc6986.Pi[:]) }

// shuffles are the index vectors of VPERMB: octet i of lane j comes from octet j + r of lane i.
func shuffles() (w []uint64) {
	for r := range 4 {
		var index [64]byte
		for j := range 8 {
			for i := range 8 {
				index[8*j+i] = byte(8*i + (j+r)%8)
			}
		}
		w = append(w, words(index[:])...)
	}
	return w
}

// blocks are the operands of VGF2P8AFFINEQB for r = 0 … 3: first those whose sum belongs to the lane it is made in, then
// those whose sum belongs four lanes on.
func blocks() (w []uint64) {
	for move := 0; move < 8; move += 4 {
		for r := range 4 {
			for j := range 8 {
				w = append(w, block((j+r)%8, (j+move)%8))
			}
		}
	}
	return w
}

// block is the 8×8 bit matrix that takes octet in of a word to its share of octet out of l of that word. The
// instruction wants the row of the result's bit 7 in the lowest octet.
func block(in, out int) uint64 {
	var rows [8]byte
	for bit := range 8 {
		for t := range 8 {
			rows[7-bit] |= byte(rfc6986.A[63-(8*in+t)]>>(8*out+bit)&1) << t
		}
	}
	return words(rows[:])[0]
}

// iterate are the iteration constants, byte-transposed.
func iterate() (w []uint64) {
	for i := range rfc6986.C {
		var c [64]byte
		for a := range 8 {
			for b := range 8 {
				c[8*a+b] = byte(rfc6986.C[i][b] >> (8 * a))
			}
		}
		w = append(w, words(c[:])...)
	}
	return w
}
