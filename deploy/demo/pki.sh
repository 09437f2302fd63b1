# shellcheck shell=bash disable=SC2154 # demo.sh assigns the common variables
# The demonstration's certificate authorities: a GOST one for signatures, an ECDSA one for TLS. Sourced by demo.sh.

# issue NAME ISSUER SECTION DAYS [DIGEST]: sign NAME.csr with ISSUER's key.
issue() {
	openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -set_serial "0x$(openssl rand -hex 16)" \
		-days "$4" "${5:--sha256}" -extfile "$here/openssl.cnf" -extensions "$3" -out "$1.tmp"
	mv "$1.tmp" "$1.pem"
}

# request NAME SECTION KEY-OPTIONS...: make NAME.key and NAME.csr with the subject of a section of openssl.cnf.
request() {
	local name=$1 section=$2 config
	shift 2
	config=$(sed "s/^distinguished_name = .*/distinguished_name = $section/" "$here/openssl.cnf")
	openssl req -new -config <(printf '%s\n' "$config") "$@" -nodes -keyout "$name.key" -out "$name.csr"
}

make_gost_ca() {
	local dir=$state/ca gost=(-newkey gost2012_256 -pkeyopt "paramset:A" -md_gost12_256)
	[ -s "$dir/issuing.pem" ] && return
	say "making a GOST certificate authority: root and issuing"
	rm -f "$state"/*.issued
	mkdir -p "$dir"
	request "$dir/root" root_name "${gost[@]}" -x509 -days 3650 -extensions root_ca
	mv "$dir/root.csr" "$dir/root.pem" # with -x509 the request is the certificate
	request "$dir/issuing" issuing_name "${gost[@]}"
	issue "$dir/issuing" "$dir/root" issuing_ca 1825 -md_gost12_256
	cat "$dir/root.pem" "$dir/issuing.pem" >"$dir/all.pem"
}

make_tsa() {
	local dir=$state/tsa
	[ -s "$dir/tsa.pem" ] && openssl verify -CAfile "$state/ca/all.pem" "$dir/tsa.pem" >/dev/null && return
	say "making the certificate of a time-stamping authority"
	mkdir -p "$dir"
	request "$dir/tsa" tsa_name -newkey gost2012_256 -pkeyopt "paramset:A" -md_gost12_256
	issue "$dir/tsa" "$state/ca/issuing" time_stamping 365 -md_gost12_256
}

make_tls() {
	local dir=$state/tls ecdsa=(-newkey ec -pkeyopt "ec_paramgen_curve:P-256" -sha256)
	[ -s "$dir/client.pem" ] && openssl x509 -in "$dir/client.pem" -noout -checkend 86400 >/dev/null && return
	say "making TLS certificates: CA, server, client"
	mkdir -p "$dir"
	request "$dir/ca" tls_name "${ecdsa[@]}" -x509 -days 1825 -extensions root_ca
	mv "$dir/ca.csr" "$dir/ca.pem"
	request "$dir/server" server_name "${ecdsa[@]}"
	issue "$dir/server" "$dir/ca" tls_server 365
	request "$dir/client" client_name "${ecdsa[@]}"
	issue "$dir/client" "$dir/ca" tls_client 365
}
