#!/usr/bin/env python3
"""Signs a SMEV 3 message and verifies it, with grpcio alone: no generated code.

    sign.py HOST:PORT KEY MESSAGE.xml >SIGNED.xml

EPOV_TLS names the folder with client.pem, client.key and ca.pem (default: this one), EPOV_PROTOSET a file that
`epov protoset` wrote (default: epov.protoset). Debian: python3-grpcio and python3-protobuf.
"""

import os
import sys
import time
import uuid

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


class Service:
    """Calls the methods of epov.v1, whose messages are known from a protoset."""

    def __init__(self, channel, protoset):
        self.channel = channel
        self.pool = descriptor_pool.DescriptorPool()
        files = descriptor_pb2.FileDescriptorSet()
        with open(protoset, "rb") as f:
            files.ParseFromString(f.read())
        for file in files.file:
            self.pool.Add(file)

    def message(self, name):
        descriptor = self.pool.FindMessageTypeByName(name)
        if hasattr(message_factory, "GetMessageClass"):
            return message_factory.GetMessageClass(descriptor)
        return message_factory.MessageFactory(self.pool).GetPrototype(descriptor)  # protobuf before 4.22

    def call(self, method, timeout=30, **fields):
        """Calls e.g. "SignService/SignXml"; the error is a Refusal where the service has given its reason."""
        service, name = method.split("/")
        descriptor = self.pool.FindServiceByName("epov.v1." + service).methods_by_name[name]
        request = self.message(descriptor.input_type.full_name)(**fields)
        stub = self.channel.unary_unary(
            "/epov.v1." + method,
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=self.message(descriptor.output_type.full_name).FromString,
        )
        for attempt in range(4):
            try:
                return stub(request, timeout=timeout)
            except grpc.RpcError as e:
                refusal = self.refusal(e)
                # Only what the service says may be tried again, after the time it says. With a request_id one may also repeat
                # after a broken connection: it gives the same signature.
                if attempt == 3 or not refusal or not refusal.retry_after:
                    raise refusal or e
                time.sleep(refusal.retry_after)

    def refusal(self, error):
        """Reads the details of an error: google.rpc.Status in a trailer."""
        trailers = dict(error.trailing_metadata() or ())
        if "grpc-status-details-bin" not in trailers:
            return None
        status = self.message("google.rpc.Status").FromString(trailers["grpc-status-details-bin"])
        info, retry = None, 0
        for detail in status.details:
            name = detail.type_url.rpartition("/")[2]
            if name == "google.rpc.ErrorInfo":
                info = self.message(name).FromString(detail.value)
            elif name == "google.rpc.RetryInfo":
                delay = self.message(name).FromString(detail.value).retry_delay
                retry = delay.seconds + delay.nanos / 1e9
        return Refusal(status.message, info, retry) if info else None


class Refusal(Exception):
    """An error with the service's own reason, which is stable: decide by it, never by the text."""

    def __init__(self, text, info, retry_after):
        super().__init__(text)
        self.reason = info.reason
        self.place = dict(info.metadata)  # line, column, path, offset; smev_fault
        self.retry_after = retry_after


def main():
    if len(sys.argv) != 4:
        sys.exit("usage: sign.py HOST:PORT KEY MESSAGE.xml >SIGNED.xml")
    address, key, path = sys.argv[1:]
    tls = os.environ.get("EPOV_TLS", ".")

    def read(name):
        with open(name, "rb") as f:
            return f.read()

    credentials = grpc.ssl_channel_credentials(
        read(tls + "/ca.pem"), read(tls + "/client.key"), read(tls + "/client.pem"))
    options = [("grpc.max_receive_message_length", 64 << 20)]
    with grpc.secure_channel(address, credentials, options) as channel:
        service = Service(channel, os.environ.get("EPOV_PROTOSET", "epov.protoset"))
        try:
            signed = service.call("SignService/SignXml", key=key, profile="smev3", document=read(path), request_id=str(uuid.uuid4()))
            checked = service.call("VerifyService/VerifyXml", document=signed.document)
        except Refusal as e:
            sys.exit(f"{e.reason}: {e} {e.place}")
    if signed.key != key and not signed.key.startswith(key + "/versions/"):
        sys.exit(f"{signed.key} signed instead of {key}")
    print("signed by", signed.key, file=sys.stderr)
    names = checked.DESCRIPTOR.fields_by_name["verdict"].enum_type.values_by_number
    print("verdict:", names[checked.verdict].name + ", integrity:", names[checked.integrity].name, file=sys.stderr)
    sys.stdout.buffer.write(signed.document)


if __name__ == "__main__":
    main()
