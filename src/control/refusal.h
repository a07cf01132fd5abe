/* control/refusal.h: a configuration that is refused: to whom it is told how, and by whose condition. */
#pragma once

#include "admin/answer.h"

/* `text`: what is wrong with it, as conf_faults_print() makes it, or a sentence. In the log, where nobody asked who could be told. */
void refusal_log(const char *text);
/* As a problem (RFC 9457); `errors`: one by one, as JSON, or NULL; `generation`: the one that stays in force. */
void refusal_answer(struct answer *a, uint16_t status, const char *text, const char *errors,
                    uint32_t generation);
/* Whether If-Match, as it came, lets it go on: it is not there, or is "*", or one of its tags is `etag` by strong comparison
 * (RFC 9110 13.1.1, 8.8.3.2), which W/"…" never passes. */
bool refusal_if_match(struct slice if_match, struct slice etag);
