#include "observe/notes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void notes_add(struct notes *n, const char *format, ...)
{
    char text[NOTE_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    for (uint32_t i = 0; i < n->count; i++)
        if (strcmp(n->text[i], text) == 0) return;
    if (n->count == NOTES_MAX) {
        n->lost++;
        return;
    }
    memcpy(n->text[n->count++], text, sizeof(text));
}
