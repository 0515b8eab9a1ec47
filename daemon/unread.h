/* unread.h: answers to what could not be read as far as a request. They have the id null. */

#pragma once

#include "connection.h"
#include "message.h"

void unread_answer(struct connection *connection, enum dialect dialect, const struct error *error);

/* The message at the front of the input is too large; its dialect is told as far as it shows. */
void unread_message(struct connection *connection);

/* A batch has more calls than one may have. */
void unread_batch(struct connection *connection);
