# shellcheck shell=bash disable=SC2154 # demo.sh assigns the common variables
# What is to be signed: fresh copies of the messages, and a PDF. Sourced by demo.sh.

# uuid1: a UUID of version 1 (RFC 9562), as SMEV 3 wants its MessageID; random clock sequence and node.
uuid1() {
	local now random
	now=$(($(date +%s%N) / 100 + 0x01B21DD213814000)) # 100 ns since 1582-10-15
	random=$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
	printf '%08x-%04x-1%03x-%04x-%012x\n' $((now & 0xffffffff)) $((now >> 32 & 0xffff)) $((now >> 48 & 0x0fff)) \
		$((0x8000 | 0x${random:0:4} & 0x3fff)) $((0x010000000000 | 0x${random:4:12}))
}

make_messages() {
	local file
	rm -rf "$state/messages" "$state/signed"
	mkdir -p "$state/messages" "$state/signed"
	for file in "$here"/messages/*.xml; do
		sed -e "s/@MESSAGE_ID@/$(uuid1)/" -e "s/@TIMESTAMP@/$(date +%Y-%m-%dT%H:%M:%S.%3N%:z)/" "$file" \
			>"$state/messages/${file##*/}"
	done
	make_pdf >"$state/messages/letter.pdf"
	head -c 65536 /dev/urandom >"$state/messages/attachment.bin"
}

# make_pdf writes a page with a line of text; the cross-reference table counts octets, hence the C locale.
make_pdf() {
	local LC_ALL=C body='' offsets='' object count=1 stream='BT /F1 18 Tf 72 770 Td (Signed by a key that never leaves its token) Tj ET'
	local objects=(
		'<< /Type /Catalog /Pages 2 0 R >>'
		'<< /Type /Pages /Kids [3 0 R] /Count 1 >>'
		'<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>'
		"<< /Length ${#stream} >>"$'\n'"stream"$'\n'"$stream"$'\n'"endstream"
		'<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>'
	)
	body='%PDF-1.4'$'\n'
	for object in "${objects[@]}"; do
		offsets+=$(printf '%010d 00000 n ' ${#body})$'\n'
		body+="$count 0 obj"$'\n'"$object"$'\n'"endobj"$'\n'
		count=$((count + 1))
	done
	# Each entry of the table is twenty octets: a blank and a line feed end it.
	printf '%sxref\n0 %d\n0000000000 65535 f \n%s' "$body" "$count" "$offsets"
	printf 'trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n' "$count" ${#body}
}
