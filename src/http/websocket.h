/* http/websocket.h: what a WebSocket's handshake proves in HTTP/1 (RFC 6455 4): that it was this request that was understood.
 * Pure; any thread. */
#pragma once

#include <stdbool.h>

#include "base/rng.h"
#include "base/slice.h"

#define WEBSOCKET_KEY_LEN 24u
#define WEBSOCKET_ACCEPT_LEN 28u

/* A value of Sec-WebSocket-Key, and a zero behind it. */
void websocket_make_key(struct rng *rng, char key[WEBSOCKET_KEY_LEN + 1]);
/* The Sec-WebSocket-Accept that answers it, likewise. */
void websocket_make_accept(const char key[WEBSOCKET_KEY_LEN], char accept[WEBSOCKET_ACCEPT_LEN + 1]);
/* Whether `accept` answers it. */
bool websocket_is_answer(const char key[WEBSOCKET_KEY_LEN], struct slice accept);
