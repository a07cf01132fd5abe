/* fuzz/h1_oracle.h: what llhttp makes of an HTTP/1 message, strict and with every lenient flag off.
 * llhttp's header and weir's name the same methods, so nothing of either is seen here.
 *
 * Where llhttp 8.1 (Debian's node-llhttp) is not asked, or is told the answer:
 *  - It knows a fixed list of methods; any token is one (RFC 9110 9.1). Others are put to it as POST.
 *  - It leaves it to its caller that 1xx, 204 and 304 have no body whatever they say, as it does for HEAD.
 *    The oracle is that caller.
 *  - After a head that asks for an upgrade (or CONNECT) it stops: what follows is not compared.
 *  - A field's value ends with the white space before CRLF: it is trimmed here.
 *  - It reads Connection and Transfer-Encoding in trailers as if they stood in the head, so whether the
 *    connection persists is asked at the head's end.
 *  - It refuses a tab between Content-Length's value and CRLF, which is as good as a space there (RFC 9110
 *    5.5): tabs behind values are put to it as spaces (h1_compare.h).
 *  - It refuses white space before a response field's colon: it is put to it behind the colon.
 *  - It refuses three of the chunk extensions that RFC 9112 7.1.1 allows: see fuzz_is_beyond_oracle() in
 *    h1_compare.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define ORACLE_FIELDS_MAX 512

struct oracle_span {
    size_t begin, len; /* in `text` */
};

struct oracle {
    bool has_head;    /* up to the empty line, without fault */
    bool is_complete; /* up to the message's end */
    bool is_upgrade;  /* stopped behind the head */
    bool is_persistent;
    const char *fault; /* NULL if there is none */
    unsigned status;
    struct oracle_span method, target, reason, body;
    struct oracle_span names[ORACLE_FIELDS_MAX],
        values[ORACLE_FIELDS_MAX]; /* trailers too, behind the head's */
    size_t field_count, head_field_count;
    size_t used; /* up to the message's end */
    char text[1 << 17];
    size_t text_len;
};

/* `is_bodiless`: a response to HEAD. At most 64 KiB. */
void oracle_run(struct oracle *o, bool is_response, bool is_bodiless, const char *data, size_t len);
