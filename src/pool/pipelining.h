/* pool/pipelining.h: whether requests to one server may wait for one another on a connection (`pipeline:`): what one worker
 * has seen of it. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "http/h1_pipeline.h"

/* Two steps to each doubling, from 1 ms on: shorter is all the same. */
#define PIPELINING_STEPS 24u

struct pipelining {
    uint8_t counts[PIPELINING_STEPS]; /* of the responses in this window, by how long they took */
    uint8_t samples;
    bool is_uneven;        /* some take so much longer that those behind them would wait in vain */
    uint32_t closes_after; /* as many requests as the server takes on one connection; 0: no bound is known */
    uint64_t off_until_ms; /* those behind were lost: not again before that */
};

/* A response took so long. spread: so many times the median may the slowest of a hundred take. */
void pipelining_note(struct pipelining *p, uint64_t took_ns, uint32_t spread);
/* Requests had to go elsewhere, of a connection that had been given `leases`. */
void pipelining_lose(struct pipelining *p, enum h1_pipeline_loss why, uint32_t lost, uint32_t leases,
                     uint64_t now_ms);
/* A connection outlived this many. */
void pipelining_outlive(struct pipelining *p, uint32_t leases);
/* How deep it may be now on a connection that has been given `leases`: `depth`, or 1. */
uint32_t pipelining_depth(const struct pipelining *p, uint32_t depth, uint32_t leases, uint64_t now_ms);
