SELECT i.value, t.value
  FROM rolewright.state AS i
  LEFT JOIN rolewright.state AS t ON t.key = 'term'
 WHERE i.key = 'instance'
