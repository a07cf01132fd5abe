/* What other encoders made of fields: see hpack_stories.c. */
#pragma once

#define HPACK_STORIES_BLOCKS 24
#define HPACK_STORIES_FIELDS 174
extern const char hpack_stories[];
