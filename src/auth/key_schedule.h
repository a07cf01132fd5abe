/* auth/key_schedule.h: when keys that somebody publishes are asked for again. Pure. */
#pragma once

#include <stdint.h>

#include "base/slice.h"

/* For how long they are good, by the answer's Cache-Control (RFC 9111 5.2.2), within bounds: whoever says "no-store", or "a second", is
 * not asked without end, and nobody's word holds for more than a day. Nothing that is understood: ten minutes. */
#define KEY_FRESH_MIN_MS 60000u
#define KEY_FRESH_PRESET_MS 600000u
#define KEY_FRESH_MAX_MS 86400000u
uint64_t key_fresh_ms(struct slice cache_control);

/* In what time after so many failures in a row, from 1: from five seconds to ten minutes. */
#define KEY_RETRY_MIN_MS 5000u
#define KEY_RETRY_MAX_MS 600000u
uint64_t key_retry_ms(uint32_t failures);

/* A token that names a key which is not there has them fetched anew, at most so often. */
#define KEY_MISS_MS 60000u
