#include "health/dns_message.h"

#include <string.h>

enum { FORMERR = 1, NOTIMP = 4, CLASS_IN = 1, LABEL_MAX = 63, NAME_MAX_BYTES = 255 };
enum { IS_ANSWER = 0x80, OPCODE = 0x78, IS_TRUNCATED = 0x02, RECURSION_DESIRED = 0x01, RCODE = 0x0f };

const char *const dns_rcode_names[] = { "NOERROR",  "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP",  "REFUSED",
                                        "YXDOMAIN", "YXRRSET", "NXRRSET",  "NOTAUTH",  "NOTZONE", NULL };

/* In the order of the next. */
const char *const dns_type_names[] = { "A",   "NS", "CNAME",  "SOA",  "PTR",   "MX",  "TXT", "AAAA",
                                       "SRV", "DS", "DNSKEY", "SVCB", "HTTPS", "CAA", NULL };
static const uint16_t types[] = { 1, 2, 5, 6, 12, 15, 16, 28, 33, 43, 48, 64, 65, 257 };

uint16_t dns_type(uint32_t index)
{
    return types[index];
}

const char *dns_name_fault(const char *name)
{
    size_t label = 0, bytes = 1; /* the root's */
    if (strcmp(name, ".") == 0) return NULL;
    if (!*name) return "it is empty";
    for (const char *c = name; *c; c++) {
        if (*c == '.' && !label) return "a label of it is empty";
        if (*c <= ' ' || *c > '~' || *c == '\\' || *c == '"')
            return "it has a character that is written otherwise in a name";
        if (*c != '.' && ++label > LABEL_MAX) return "a label of it has more than 63 bytes";
        if (*c != '.') continue;
        bytes += label + 1;
        label = 0;
    }
    if (label) bytes += label + 1;
    return bytes > NAME_MAX_BYTES ? "it has more than 255 bytes" : NULL;
}

static void put16(unsigned char *at, uint16_t value)
{
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
}

/* Labels behind their lengths, up to the empty one. */
static size_t write_name(const char *name, unsigned char *out)
{
    size_t at = 0;
    while (*name && strcmp(name, ".") != 0) {
        size_t label = 0;
        while (name[label] && name[label] != '.') label++;
        out[at++] = (unsigned char)label;
        memcpy(out + at, name, label);
        at += label;
        name += label + (name[label] == '.');
    }
    out[at++] = 0;
    return at;
}

size_t dns_question_write(const struct dns_question *q, unsigned char out[DNS_QUESTION_MAX])
{
    memset(out, 0, DNS_HEAD_BYTES);
    put16(out, q->id);
    out[2] = RECURSION_DESIRED;
    put16(out + 4, 1);
    size_t at = DNS_HEAD_BYTES + write_name(q->name, out + DNS_HEAD_BYTES);
    put16(out + at, q->type);
    put16(out + at + 2, CLASS_IN);
    return at + 4;
}

const char *dns_answer_read(const struct dns_question *q, struct slice datagram, struct dns_answer *out)
{
    unsigned char asked[DNS_QUESTION_MAX];
    size_t len = dns_question_write(q, asked), name = len - DNS_HEAD_BYTES - 4;
    const unsigned char *got = (const unsigned char *)datagram.data;
    if (datagram.len < DNS_HEAD_BYTES) return "it is too short for a message of DNS";
    if (memcmp(got, asked, 2) != 0) return "its id is not the question's";
    if (!(got[2] & IS_ANSWER)) return "it is a question itself";
    if (got[2] & OPCODE) return "it answers another kind of request";
    *out = (struct dns_answer){ .rcode = got[3] & RCODE, .is_truncated = (got[2] & IS_TRUNCATED) != 0 };
    unsigned questions = (unsigned)got[4] << 8 | got[5];
    if (!questions && (out->rcode == FORMERR || out->rcode == NOTIMP)) return NULL;
    if (questions != 1 || datagram.len < len ||
        !slice_equal_fold((struct slice){ datagram.data + DNS_HEAD_BYTES, name },
                          (struct slice){ (const char *)asked + DNS_HEAD_BYTES, name }) ||
        memcmp(got + len - 4, asked + len - 4, 4) != 0)
        return "it is of another question";
    return NULL;
}
