//go:build purego

package main

const portable = true
