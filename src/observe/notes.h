/* observe/notes.h: what could not be found out, and why: said beside the figures instead of a zero in their place. */
#pragma once

#include <stdint.h>

#define NOTES_MAX 24u
#define NOTE_TEXT_MAX 192u

struct notes {
    char text[NOTES_MAX][NOTE_TEXT_MAX];
    uint32_t count;
    uint32_t lost; /* found no room */
};

/* Adds the sentence (cut at NOTE_TEXT_MAX - 1 bytes) unless it is there. */
void notes_add(struct notes *n, const char *format, ...) __attribute__((format(printf, 2, 3)));
