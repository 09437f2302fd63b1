//go:build !purego

#include "textflag.h"

// An octet is looked up by its low and by its high half in two tables of 16; the conjunction has a bit set when both halves
// have it. So one bit stands for a rectangle of the ASCII table:
//
//	01 '&'   02 '<' '>'   04 CR ']'   08 '"' '\''   10 TAB LF   20 40 controls that are not Char
//	80 first octets C0 C1 CD CF E0 E1 ED EF, some of which need a closer look at the octet that follows
DATA low<>+0(SB)/8, $0x282120202028A0A0
DATA low<>+8(SB)/8, $0xA022C42220505020
GLOBL low<>(SB), RODATA|NOPTR, $16
DATA high<>+0(SB)/8, $0x0000040002096034
DATA high<>+8(SB)/8, $0x0080008000000000
GLOBL high<>(SB), RODATA|NOPTR, $16

// The same for names: 01 digits, 02 letters of columns 4 and 6, 04 those of 5 and 7, 08 '_', 10 '-' '.'.
DATA lowName<>+0(SB)/8, $0x0707070707070705
DATA lowName<>+8(SB)/8, $0x0A12120202060707
GLOBL lowName<>(SB), RODATA|NOPTR, $16
DATA highName<>+0(SB)/8, $0x04020C0201100000
DATA highName<>+8(SB)/8, $0x0000000000000000
GLOBL highName<>(SB), RODATA|NOPTR, $16

DATA octets<>+0(SB)/8, $0xE0EFDFC0E0070F00 // 0 0F 07 E0 C0 DF EF
GLOBL octets<>(SB), RODATA|NOPTR, $8

#define TEXT_MARKS 0
#define VALUE_MARKS 520
#define NAME_MARKS 1040
#define DUE 1560

// CLASSIFY makes of 32 octets in v their classes in c and what they are in names in n.
#define CLASSIFY(v, c, n) \
	VPAND   Y12, v, Y2   \
	VPSRLW  $4, v, Y3    \
	VPAND   Y12, Y3, Y3  \
	VPSHUFB Y2, Y8, c    \
	VPSHUFB Y3, Y9, n    \
	VPAND   n, c, c      \
	VPSHUFB Y2, Y10, n   \
	VPSHUFB Y3, Y11, Y3  \
	VPAND   Y3, n, n

// MASK makes of the signs of the octets in a and b 64 bits in r; s is spoilt.
#define MASK(a, b, r, s) \
	VPMOVMSKB a, r  \
	VPMOVMSKB b, s  \
	SHLQ      $32, s \
	ORQ       s, r

// func classifyAVX2(x *index, block *byte, first, last int) (next int)
TEXT ·classifyAVX2(SB), NOSPLIT, $0-40
	MOVQ x+0(FP), DI
	MOVQ block+8(FP), SI
	MOVQ first+16(FP), AX
	MOVQ last+24(FP), BX
	MOVQ DUE(DI), R8
	MOVQ AX, CX
	SHLQ $6, CX
	ADDQ CX, SI
	VBROADCASTI128 low<>(SB), Y8
	VBROADCASTI128 high<>(SB), Y9
	VBROADCASTI128 lowName<>(SB), Y10
	VBROADCASTI128 highName<>(SB), Y11
	VPBROADCASTB octets<>+1(SB), Y12
	VPBROADCASTB octets<>+2(SB), Y13
	VPBROADCASTB octets<>+3(SB), Y14
	VPXOR Y15, Y15, Y15

word:
	CMPQ AX, BX
	JGE  done
	VMOVDQU (SI), Y0
	VMOVDQU 32(SI), Y1
	CLASSIFY(Y0, Y4, Y5)
	CLASSIFY(Y1, Y6, Y7)
	VPOR   Y4, Y6, Y2
	VPTEST Y14, Y2
	JNE    done
	MASK(Y0, Y1, R9, R10)
	MOVQ   R9, R10
	ORQ    R8, R10
	JZ     ascii

	// UTF-8: the continuation octets must be those that the first octets ask for.
	VPBROADCASTB octets<>+4(SB), Y2
	VPCMPGTB Y0, Y2, Y3        // as signed numbers, 80..BF are below C0
	VPCMPGTB Y1, Y2, Y2
	MASK(Y3, Y2, R10, R11)     // R10: continuation octets
	VPBROADCASTB octets<>+6(SB), Y2
	VPCMPGTB Y2, Y0, Y3
	VPCMPGTB Y2, Y1, Y2
	MASK(Y3, Y2, R11, R12)
	TESTQ  R9, R11             // F0 and up
	JNE    done
	VPBROADCASTB octets<>+5(SB), Y2
	VPCMPGTB Y2, Y0, Y3
	VPCMPGTB Y2, Y1, Y2
	MASK(Y3, Y2, R12, R11)
	ANDQ   R9, R12             // R12: first octets of three
	MOVQ   R10, R11
	NOTQ   R11
	ANDQ   R9, R11             // R11: first octets
	LEAQ   (R11)(R11*1), R13
	ORQ    R8, R13
	LEAQ   (R12*4), CX
	ORQ    CX, R13
	CMPQ   R13, R10
	JNE    done
	SHRQ   $63, R11
	SHRQ   $62, R12
	MOVQ   R11, R8
	ORQ    R12, R8

ascii:
	VPCMPGTB Y15, Y4, Y2
	VPCMPGTB Y15, Y6, Y3
	MASK(Y2, Y3, R9, R10)
	MOVQ R9, VALUE_MARKS(DI)(AX*8)
	VPAND    Y13, Y4, Y4
	VPAND    Y13, Y6, Y6
	VPCMPGTB Y15, Y4, Y2
	VPCMPGTB Y15, Y6, Y3
	MASK(Y2, Y3, R9, R10)
	MOVQ R9, TEXT_MARKS(DI)(AX*8)
	VPCMPEQB Y15, Y5, Y2
	VPCMPEQB Y15, Y7, Y3
	MASK(Y2, Y3, R9, R10)
	MOVQ R9, NAME_MARKS(DI)(AX*8)
	ADDQ $64, SI
	INCQ AX
	JMP  word

done:
	MOVQ R8, DUE(DI)
	MOVQ AX, next+32(FP)
	VZEROUPPER
	RET
