#include "record/access_tls.h"

#include "tls/facts.h"

void access_tls_cipher(const struct access_line *l)
{
    access_line_name(l, slice_of(l->entry->tls ? l->entry->tls->cipher_name : NULL));
}

void access_tls_protocol(const struct access_line *l)
{
    access_line_name(l, slice_of(l->entry->tls ? l->entry->tls->version_name : NULL));
}

void access_tls_server_name(const struct access_line *l)
{
    access_line_name(l, l->entry->tls ? l->entry->tls->name : SLICE_NONE);
}

void access_tls_session_reused(const struct access_line *l)
{
    if (!l->entry->tls)
        access_line_missing(l);
    else
        text_add_char(l->out, l->entry->tls->is_resumed ? 'r' : '.');
}

void access_tls_client_verify(const struct access_line *l)
{
    if (!l->entry->tls)
        access_line_missing(l);
    else
        text_add_slice(l->out, l->entry->tls->fingerprint.len ? SLICE("SUCCESS") : SLICE("NONE"));
}

void access_tls_client_subject(const struct access_line *l)
{
    access_line_name(l, l->entry->tls ? l->entry->tls->subject : SLICE_NONE);
}

void access_tls_client_fingerprint(const struct access_line *l)
{
    access_line_name(l, l->entry->tls ? l->entry->tls->fingerprint : SLICE_NONE);
}

void access_tls_client_names(const struct access_line *l)
{
    access_line_name(l, l->entry->tls ? l->entry->tls->names : SLICE_NONE);
}
