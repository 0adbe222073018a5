"""Values of `Service.probe_request` that several services share."""

HTTP = "GET / HTTP/1.0\r\n\r\n"
POSTGRES = "\0\0\0\x08\x04\xd2\x16\x2f"  # SSLRequest, which a server answers with one letter
