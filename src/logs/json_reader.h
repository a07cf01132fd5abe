/* logs/json_reader.h: records that are JSON objects: one a line (NDJSON), one after another, or in one array of whatever
 * length. A byte state machine that can stop anywhere and go on with the next piece: it holds nothing of what came before
 * but the values of the record in hand, and of those at most JSON_READER_HELD bytes, so a record of a gigabyte costs what
 * a small one does. Keys of the record itself are looked at; objects and arrays within it are passed over. Where
 * records are lines, one that was cut ends with its line. One thread. */
#pragma once

#include "logs/line_format.h"

#define JSON_READER_HELD (64u << 10)
#define JSON_READER_KEY_MAX 64u
#define JSON_READER_EXPECTED 64u

struct json_reader_events {
    void (*on_entry)(void *context, struct log_entry *e); /* values live until it returns */
    /* Bytes that are no record; `bytes` is where it began to go wrong, as far as that is here. Reading goes on with the
     * next object that begins a line. */
    void (*on_malformed)(void *context, struct slice bytes);
};

struct json_reader {
    const struct json_reader_events *events;
    void *context;
    struct line_format names; /* further seats, by key, in the order in which keys were first seen */
    char name_text[1024];
    uint32_t name_used;
    struct line_clock clock;
    struct log_entry entry;
    uint32_t state, depth;
    bool is_string, is_escaped, is_cut;
    bool is_at_line;  /* lost, but here a line begins */
    bool is_lines;    /* a record ended its line: each has one of its own */
    bool has_newline; /* in the record in hand */
    bool is_after_record;
    char piece_before; /* the last byte of the piece before */
    char before;       /* in an object or array within the record: the last that was no blank */
    uint8_t field;     /* of the value in hand; LOG_FIELD_MAX: nobody's */
    bool is_new_key;   /* the key has no seat yet; it gets one if its value is a scalar */
    uint8_t key_len;
    char key[JSON_READER_KEY_MAX];
    /* Records of one writer have their keys in one order: the n-th key is looked up only when it is another. */
    uint32_t key_number;
    struct {
        uint8_t len, field;
        char name[JSON_READER_KEY_MAX];
    } expected[JSON_READER_EXPECTED];
    uint32_t held;           /* bytes of values kept from earlier pieces */
    const char *value;       /* where the value in hand began, in this piece or in `memory`; NULL: none */
    uint64_t fed, record_at; /* bytes so far; where the record in hand began */
    uint64_t cut_values;     /* values that were longer than there was room for */
    const char *record;      /* what the piece in hand has of the record; `raw`: of earlier pieces */
    uint32_t raw_len;
    bool is_raw_cut; /* it is longer than there is room for */
    char memory[JSON_READER_HELD + 32];
    char raw[JSON_READER_HELD];
};

void json_reader_init(struct json_reader *r, const struct json_reader_events *events, void *context);
/* The next piece. At least 32 bytes after it must be readable. */
void json_reader_feed(struct json_reader *r, struct slice piece);
/* How many of the bytes fed belong to a record that is not complete. */
uint64_t json_reader_pending(const struct json_reader *r);
/* Nothing follows: what is open is malformed. */
void json_reader_end(struct json_reader *r);
