/* pool/ejection.h: which of a pool's servers are ejected for their answers: from what workers count of each server to the
 * finding of health/outlier.h, within what may be out at once. Control thread; workers only count (pool_evidence.c). */
#pragma once

#include "pool/pool.h"

#define EJECTION_LOOK_MS 1000
/* What is left of a window at each look: it is some 10 s long. */
#define EJECTION_KEEPS 0.9

/* What was counted has become a look older; to be called every EJECTION_LOOK_MS. */
void pool_age_answers(struct pool *p);
/* Ejects who is to be ejected. True: who may be picked has changed. */
bool pool_judge_answers(struct pool *p, uint64_t now_ms);
/* What was counted of it so far says nothing any more. */
void server_forget_answers(struct server *s);
