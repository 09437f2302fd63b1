# shellcheck shell=bash disable=SC2154 # demo.sh assigns the common variables
# The token, its keys and their certificates, and the configurations of daemon and client. Sourced by demo.sh.

system=EXMP01
label=epov-demo
# shellcheck disable=SC2034 # demo.sh goes through them
names=(ov sp)
declare -A subjects=(
	[ov]="1.2.643.100.4=7701234567,1.2.643.100.1=1027701234567,CN=Информационная система $system,O=Ведомство-пример,L=Москва,C=RU"
	[sp]="1.2.643.100.3=11223344595,T=Начальник отдела,GN=Иван Иванович,SN=Иванов,CN=Иванов Иван Иванович,O=Ведомство-пример,L=Москва,C=RU"
)

on_token() { "$epov" "$@" --module "$module" --token "$label" --pin-file "$state/pin" --state-dir "$state/hsm"; }

random_pin() { od -An -N8 -tu8 /dev/urandom | tr -d ' '; }

make_token() {
	export SOFTHSM2_CONF=$state/softhsm2.conf
	printf '%s\n' "directories.tokendir = $state/tokens" "objectstore.backend = file" "log.level = ERROR" \
		"slots.removable = false" >"$SOFTHSM2_CONF"
	[ -s "$state/token.done" ] && return
	say "making a token: $label"
	rm -rf "$state/tokens" "$state/hsm" "$state/audit" "$state"/*.issued
	mkdir -p "$state/tokens"
	random_pin >"$state/pin"
	random_pin >"$state/so-pin"
	"$epov" token init --module "$module" --label "$label" --pin-file "$state/pin" --so-pin-file "$state/so-pin"
	printf "%s\n" "$label" >"$state/token.done"
}

# make_key NAME: a key of the system, its certificate from the issuing CA, both on the token.
make_key() {
	local name=$1 version=keys/$system/$1/versions/1 file=$state/$1
	[ -s "$file.issued" ] && openssl x509 -in "$file.pem" -noout -checkend 86400 >/dev/null && return
	say "making $version: key on the token, request, certificate"
	if ! on_token key list | grep -q "^$version "; then
		on_token key generate --system "$system" --key "$name" --version 1 --algorithm gost2012-256 --params CryptoPro-A
	fi
	on_token csr --name "$version" --subject "${subjects[$name]}" -o "$file.csr"
	issue "$file" "$state/ca/issuing" ep_ov 365 -md_gost12_256
	on_token cert import --name "$version" --replace "$file.pem"
	printf "%s\n" "$version" >"$file.issued"
}

# free_port: one that nobody answers on, nor on the next; the range is outside the ephemeral ports of Linux.
free_port() {
	local port
	for _ in $(seq 50); do
		port=$((20000 + $(od -An -N2 -tu2 /dev/urandom) % 10000))
		if ! (exec 3<>"/dev/tcp/127.0.0.1/$port" || exec 3<>"/dev/tcp/127.0.0.1/$((port + 1))") 2>/dev/null; then
			echo "$port"
			return
		fi
	done
	die "no free port found"
}

# configure PORT: write epovd.yaml and client.yaml for this mode. The time-stamping authority gets the port after it.
configure() {
	config=$state/epovd-$mode.yaml
	# shellcheck disable=SC2034 # demo.sh starts the authority there
	tsa_address=127.0.0.1:$(($1 + 1))
	client=$state/client-$mode.yaml
	cat >"$config" <<-YAML
		listen: 127.0.0.1:$1
		tls:
		  certificate: tls/server.pem
		  key: tls/server.key
		  client_ca: tls/ca.pem
		tokens:
		  - name: demo
		    module: "$module"
		    label: $label
		    pin: {file: pin}
		    state_dir: hsm
		keys:
		  - name: keys/$system/ov
		    primary: 1
		    versions: [{version: 1, token: demo, chain: [ca/issuing.pem]}]
		  - name: keys/$system/sp
		    primary: 1
		    versions: [{version: 1, token: demo, chain: [ca/issuing.pem]}]
		roles:
		  - name: all
		    allow: [{keys: [keys/$system/*], operations: [sign-xml, sign-cms, verify, list]}]
		clients:
		  - name: gateway
		    san: [spiffe://epov.demo/gateway]
		    roles: [all]
		trust:
		  anchors: [ca/root.pem]
		  intermediates: [ca/issuing.pem]
		audit:
		  directory: audit
		  name: epov.demo/audit
		  checkpoints: {key: {token: demo, id: $system/audit/1}}
		timestamps:
		  urls: [http://127.0.0.1:$(($1 + 1))/]
		log: {level: info, format: text}
	YAML
	cat >"$client" <<-YAML
		# For epov --client-config. The key is used where --key is left out.
		address: 127.0.0.1:$1
		tls:
		  certificate: tls/client.pem
		  key: tls/client.key
		  ca: tls/ca.pem
		key: keys/$system/ov
	YAML
}
