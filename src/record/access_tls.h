/* record/access_tls.h: what an access log says of the client's TLS, by nginx's names for it and weir's own. */
#pragma once

#include "record/access_line.h"

void access_tls_cipher(const struct access_line *l);
void access_tls_protocol(const struct access_line *l);
void access_tls_server_name(const struct access_line *l);
void access_tls_session_reused(const struct access_line *l);
void access_tls_client_verify(const struct access_line *l);
void access_tls_client_subject(const struct access_line *l);
void access_tls_client_fingerprint(const struct access_line *l);
void access_tls_client_names(const struct access_line *l);
