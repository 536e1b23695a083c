SELECT i.value, f.value
  FROM rolewright.state AS i, rolewright.state AS f, rolewright.state AS v
 WHERE i.key = 'inputs' AND f.key = 'fingerprint' AND v.key = 'format' AND v.value = '1'
