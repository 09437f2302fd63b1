package streebog_test

import (
	"fmt"

	"github.com/epov-signer/epov/gost/streebog"
)

func ExampleSumMany256() {
	msgs := [][]byte{[]byte("first"), []byte("second")}
	sums := make([][streebog.Size256]byte, len(msgs))
	streebog.SumMany256(sums, msgs)
	for i := range msgs {
		fmt.Println(sums[i] == streebog.Sum256(msgs[i]))
	}
	// Output:
	// true
	// true
}
