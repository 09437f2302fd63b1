//go:build !purego

package main

const portable = false
