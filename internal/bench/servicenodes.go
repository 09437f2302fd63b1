package main

func (b *serviceBench) compareNodes() {}
