# An artifact server on loopback, made of the reference's own server code: with TLS, client certificates or a token
# where these are asked for. Prints its ports, one for each certificate, and ends when its standard input does.
import argparse
import functools
import sys

import grpc

arguments = argparse.ArgumentParser()
arguments.add_argument("directory")
arguments.add_argument("--certificate", action="append")
arguments.add_argument("--key", action="append")
arguments.add_argument("--clients")
arguments.add_argument("--token")
options = arguments.parse_args()


class Guard(grpc.ServerInterceptor):
    def intercept_service(self, continuation, details):
        if ("authorization", "Bearer " + options.token) in [tuple(pair)[:2] for pair in details.invocation_metadata]:
            return continuation(details)

        def refuse(request, context):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")

        return grpc.unary_unary_rpc_method_handler(refuse)


if options.token:
    grpc.server = functools.partial(grpc.server, interceptors=[Guard()])

from buildstream._cas.casserver import create_server


def read(path):
    with open(path, "rb") as file:
        return file.read()


with create_server(options.directory, enable_push=True, quota=None, index_only=False) as server:
    ports = []
    if options.certificate:
        clients = read(options.clients) if options.clients else None
        for key, certificate in zip(options.key, options.certificate):
            pair = (read(key), read(certificate))
            credentials = grpc.ssl_server_credentials([pair], clients, clients is not None)
            ports.append(server.add_secure_port("127.0.0.1:0", credentials))
    else:
        ports.append(server.add_insecure_port("127.0.0.1:0"))
    server.start()
    print(*ports, flush=True)
    sys.stdin.read()
    server.stop(0)
